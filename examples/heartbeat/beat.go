// Ten heartbeats from Go, standard library only: go run beat.go orders
package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

func main() {
	service := os.Getenv("LIFESIGN_SERVICE")
	if len(os.Args) > 1 {
		service = os.Args[1]
	}
	place := os.Getenv("LIFESIGN_LOCAL")
	if place == "" {
		place = "/run/lifesign"
	}
	heart, err := net.Dial("unix", filepath.Join(place, "stream"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer heart.Close()
	for done := 1; done <= 10; done++ {
		// A heartbeat must never hold up the program.
		heart.SetWriteDeadline(time.Now().Add(time.Millisecond))
		fmt.Fprintf(heart, "%s alive progress=%d queue=12.5 message=hello from Go\n", service, done)
		time.Sleep(20 * time.Millisecond)
	}
}
