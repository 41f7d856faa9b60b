// Package at makes file system calls relative to a directory descriptor, one path component at a time: nothing here
// follows a symbolic link, crosses a mount, opens a FIFO or a device, changes the working directory or the umask.
//
// Names are raw bytes of one component (no '/'). Descriptors are plain ints that the caller owns. Errors are bare
// errno values: the caller knows the whole path and says it once. It must not know what the trees are for.
package at
