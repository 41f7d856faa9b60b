// Command crossroot runs commands and package scripts inside a root file system built for another CPU.
package main

import (
	"os"

	"github.com/crossroot/crossroot/internal/cli"
	"github.com/crossroot/crossroot/internal/doctor"
	"github.com/crossroot/crossroot/internal/entry"
	"github.com/crossroot/crossroot/internal/keeper"
	"github.com/crossroot/crossroot/internal/pid1"
	"github.com/crossroot/crossroot/internal/protocol"
	"github.com/crossroot/crossroot/internal/session"
	"github.com/crossroot/crossroot/internal/worker"
)

func main() {
	switch os.Args[0] {
	case protocol.WorkerName:
		os.Exit(worker.Main())
	case protocol.InitName:
		os.Exit(pid1.Main())
	case protocol.StageName:
		os.Exit(pid1.StageMain())
	case keeper.Name:
		os.Exit(keeper.Main())
	case keeper.FirstName:
		os.Exit(keeper.FirstMain())
	case protocol.ScannerName:
		os.Exit(session.ScannerMain())
	}
	if code, ok := doctor.Child(os.Args[0]); ok {
		os.Exit(code)
	}
	if name, ok := entry.Called(); ok {
		os.Exit(entry.Main(name, os.Args))
	}
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
