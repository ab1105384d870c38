// Command pause holds namespaces open and reaps orphans until it is told to stop.
//
// It is the first process of every pod's sandbox (in an image of its own), and of the namespaces in which the
// one-node cluster itself runs. As process 1 of a PID namespace it gets no default signal handling and inherits
// every orphan: both are its whole job.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		reap()
	}
}

// reap collects every child that has ended: one SIGCHLD may stand for several.
func reap() {
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
	}
}
