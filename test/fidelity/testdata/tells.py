# Prints, a line each, what python tells of itself: NAME = VALUE.
import ctypes.util
import importlib.machinery
import os
import platform
import site
import sqlite3
import ssl
import struct
import sys
import sysconfig

# What differs between two runs of the same python.
RANDOM = {"modules", "path_hooks", "path_importer_cache", "stdin", "stdout", "stderr", "stdlib_module_names"}


def tell(name, value):
    print(name, "=", value)


for name in sorted(set(dir(sys)) - RANDOM):
    value = getattr(sys, name)
    if not name.startswith("__") and not callable(value):
        tell("sys." + name, repr(value))
tell("sys.stdlib_module_names", sorted(sys.stdlib_module_names))
tell("sys.path_importer_cache", sorted(sys.path_importer_cache))
for name, value in sorted(sysconfig.get_config_vars().items()):
    tell("sysconfig." + name, repr(value))
for function in (sysconfig.get_platform, sysconfig.get_paths, sysconfig.get_makefile_filename,
                 sysconfig.get_config_h_filename, sysconfig.get_python_version, sysconfig.get_default_scheme):
    tell("sysconfig." + function.__name__, function())
for function in (platform.architecture, platform.libc_ver, platform.machine, platform.platform, platform.processor,
                 platform.python_branch, platform.python_build, platform.python_compiler, platform.python_revision,
                 platform.python_version, platform.release, platform.system, platform.uname, platform.version):
    tell("platform." + function.__name__, function())
tell("os.uname", os.uname())
tell("suffixes", importlib.machinery.all_suffixes())
tell("site", (site.getsitepackages(), site.ENABLE_USER_SITE, site.getusersitepackages()))
tell("ssl", (ssl.OPENSSL_VERSION, ssl.get_default_verify_paths(), ssl._ssl.__file__))
tell("sqlite", sqlite3.sqlite_version)
tell("find_library", [ctypes.util.find_library(name) for name in ("c", "z", "m", "nonexistent")])
for code in "bhilqnNPfd":
    tell("struct." + code, struct.calcsize(code))
tell("/proc/self/exe", os.readlink("/proc/self/exe"))
