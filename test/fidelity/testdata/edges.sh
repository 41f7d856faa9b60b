# Ways to call python; prints the size of its words, 8 where it runs natively for a 32-bit target.
words='import sys, struct, _ssl; print(struct.calcsize("P"), sys.executable, sys.prefix)'
echo plain; python3 -c "$words"
echo a name in /bin; /bin/python3 -c "$words"
echo no name; (exec -a nobody python3 -c "$words")
echo a link; ln -s /usr/bin/python3 /tmp/link; /tmp/link -c "$words"
echo a virtual environment; python3 -m venv --without-pip /tmp/env
/tmp/env/bin/python3 -c "$words"; (PATH=/tmp/env/bin:$PATH; python3 -c "$words"); cat /tmp/env/pyvenv.cfg
echo a path; PYTHONPATH=/tmp python3 -c "$words"
echo a preloaded library; LD_PRELOAD=/usr/lib/arm-linux-gnueabihf/libz.so.1 python3 -c "$words"
echo a copy; cp /usr/bin/python3.11 /tmp; /tmp/python3.11 -c "$words"
echo a library by its path; python3 -c 'import ctypes; print(ctypes.CDLL("/usr/lib/arm-linux-gnueabihf/libz.so.1").crc32(0, b"x", 1))'
echo a child; python3 -c 'import subprocess, sys; subprocess.run([sys.executable, "-c", sys.argv[1]])' "$words"
echo a foreign module comes; cp /usr/lib/python3.11/lib-dynload/_ssl.*.so /usr/lib/python3/dist-packages/foreign.so
sleep 0.2; python3 -c "$words"
echo and goes; rm /usr/lib/python3/dist-packages/foreign.so
sleep 0.2; python3 -c "$words"
