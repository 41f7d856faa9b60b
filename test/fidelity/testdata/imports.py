# Imports every binary module of python's directories, and prints which file it came from and what is in it.
import glob
import importlib
import importlib.machinery
import os
import sys

for directory in sys.path:
    if not directory.endswith(("lib-dynload", "dist-packages")):
        continue
    for path in sorted(glob.glob(directory + "/**/*.so", recursive=True)):
        ending = next(e for e in importlib.machinery.EXTENSION_SUFFIXES if path.endswith(e))
        name = os.path.relpath(path, directory)[:-len(ending)].replace("/", ".")
        try:
            module = importlib.import_module(name)
        except Exception as e:
            print("FAILED", name, repr(e))
            continue
        if module.__file__ != path:
            print("FAILED", name, "came from", module.__file__)
        print(name, sorted(dir(module)))
