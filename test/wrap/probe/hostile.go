package main

import (
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Of package dispatcher, by number: a hostile program doesn't import it.
const (
	magic    = 0x43520001
	miss     = 1
	emulator = 2
	locate   = 3
	outside  = 4
	last     = 40 // a few more than there are
)

func ask(a ...uintptr) (int, unix.Errno) {
	var w [5]uintptr
	copy(w[:], a)
	r, _, e := unix.Syscall6(unix.SYS_PRCTL, magic, w[0], w[1], w[2], w[3], w[4])
	return int(r), e
}

var kept []*byte // arguments that the collector must not take

func text(s string) uintptr {
	p, err := unix.BytePtrFromString(s)
	if err != nil {
		panic(err)
	}
	kept = append(kept, p)
	return uintptr(unsafe.Pointer(p))
}

// hostile sends requests of every kind, in every order, with garbage for arguments, from several threads at once, and tries
// to use what it is given. It prints one line for each gain; "done" when it has been answered every time.
func hostile(args []string) error {
	var waiting atomic.Int64
	waiting.Store(time.Now().UnixNano())
	go func() {
		for range time.Tick(100 * time.Millisecond) {
			if time.Since(time.Unix(0, waiting.Load())) > 20*time.Second {
				fmt.Println("no answer")
				os.Exit(3)
			}
		}
	}()
	wide := 40 // more than a 32-bit word has
	ls, err := unix.Open(args[0], unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	dir, _ := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	path, _ := unix.Open("/", unix.O_PATH, 0)
	var pipe [2]int
	_ = unix.Pipe(pipe[:])
	memory, _ := unix.MemfdCreate("m", 0)
	fds := []uintptr{uintptr(ls), uintptr(dir), uintptr(path), uintptr(pipe[0]), uintptr(memory), ^uintptr(0), 9999, 1 << 31, uintptr(1)<<wide | uintptr(ls), 0}
	words := []uintptr{0, 1, 2, 3, ^uintptr(0), uintptr(1) << (wide + 7), 4096, text("ls"), text("../../x"), text("/.cr/armhf/entry"), text("/.cr/armhf/../self"), text("")}
	for request := range uintptr(last) {
		for _, fd := range fds {
			for i, w := range words {
				waiting.Store(time.Now().UnixNano())
				r, e := ask(request, fd, w, words[(i+3)%len(words)], words[(i*5+1)%len(words)])
				gained(request, r, e)
			}
		}
		for _, w := range words {
			waiting.Store(time.Now().UnixNano())
			r, e := ask(request, w, fds[0], w, w)
			gained(request, r, e)
		}
	}
	// The steps of LOCATE, out of order; the namespace is shared or left in between.
	for _, steps := range [][]uintptr{{1, 0, 1, 2}, {2, 2, 0, 0, 1}, {0, 1, 1, 0, 2}, {0, 2, 1}, {3, 0, 4, 1}} {
		for i, s := range steps {
			waiting.Store(time.Now().UnixNano())
			r, e := ask(locate, uintptr(ls), s, 0, 0)
			gained(locate, r, e)
			if i == 1 {
				_ = unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS)
			}
		}
	}
	done := make(chan bool)
	for n := range 4 {
		go func() {
			runtime.LockOSThread()
			for i := range 200 {
				waiting.Store(time.Now().UnixNano())
				_, _ = ask(uintptr(1+(i+n)%4), uintptr(ls), uintptr(i%3), 0, 0)
			}
			done <- true
		}()
	}
	for range 4 {
		<-done
	}
	writeHidden()
	fmt.Println("done")
	return nil
}

// gained looks at a descriptor that a request was answered with: what may be written, or leads out.
func gained(request uintptr, r int, e unix.Errno) {
	if e != 0 || r < 3 || r >= 0x10000 {
		return
	}
	defer unix.Close(r)
	flags, err := unix.FcntlInt(uintptr(r), unix.F_GETFL, 0)
	if err != nil {
		return // a number, no descriptor
	}
	if flags&unix.O_ACCMODE != unix.O_RDONLY {
		fmt.Printf("request %d gave a descriptor for writing\n", request)
	}
	var st unix.Stat_t
	if unix.Fstat(r, &st) != nil {
		return
	}
	self := fmt.Sprintf("/proc/self/fd/%d", r)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		name, _ := os.Readlink(self)
		if f, err := os.OpenFile(self, os.O_WRONLY, 0); err == nil && request == emulator {
			f.Close()
			fmt.Printf("request %d gave %s, which can be written\n", request, name)
		}
	case unix.S_IFDIR:
		var root unix.Stat_t
		_ = unix.Stat("/", &root)
		if (request != outside || os.Geteuid() != 0) && (root.Ino != st.Ino || root.Dev != st.Dev) {
			fmt.Printf("request %d gave another directory\n", request)
		}
	}
}

// writeHidden tries to change what is in the hidden directory, if it is seen.
func writeHidden() {
	_ = unix.Mount("", "/.cr", "", unix.MS_REMOUNT|unix.MS_BIND, "")
	_ = unix.Mount("", "/.cr/t", "", unix.MS_REMOUNT|unix.MS_BIND, "")
	_ = unix.Mount("", "/.cr/armhf/qemu", "", unix.MS_REMOUNT|unix.MS_BIND, "")
	attr := unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}
	_ = unix.MountSetattr(unix.AT_FDCWD, "/.cr", unix.AT_RECURSIVE, &attr)
	for _, name := range []string{"/.cr/self", "/.cr/armhf/qemu", "/.cr/t/usr/bin/ls", "/.cr/t/bin/ls"} {
		if f, err := os.OpenFile(name, os.O_WRONLY, 0); err == nil {
			f.Close()
			fmt.Println(name, "can be written")
		}
	}
	for _, name := range []string{"/.cr/x", "/.cr/t/x", "/.cr/armhf/x", "/.cr/do/x", "/.cr/armhf/exec/x"} {
		if err := os.WriteFile(name, nil, 0o644); err == nil {
			fmt.Println(name, "was made")
		}
	}
	if err := os.Remove("/.cr/armhf/entry"); err == nil {
		fmt.Println("/.cr/armhf/entry was removed")
	}
}
