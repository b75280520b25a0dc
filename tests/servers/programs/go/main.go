// Go's net/http in four ways. Arguments: the folder with the files.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
)

var secret = os.Getenv("SECRET")

func serve(name string, handler http.Handler) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Printf("listening|%s|%s|%s\n", name, listener.Addr(), runtime.Version())
	go func() { panic(http.Serve(listener, handler)) }()
}

func guarded(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, secret) }
func public(w http.ResponseWriter, r *http.Request)  { fmt.Fprintln(w, "public") }

func main() {
	serve("Go FileServer", http.FileServer(http.Dir(os.Args[1])))

	mux := http.NewServeMux()
	mux.HandleFunc("/admin/", guarded)
	mux.HandleFunc("/api/admin/", guarded)
	mux.HandleFunc("/", public)
	serve("Go ServeMux", mux)

	// What is written by hand around a decoded path.
	serve("Go prefix of URL.Path, lower case", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := strings.ToLower(r.URL.Path)
		if strings.HasPrefix(path, "/admin") || strings.HasPrefix(path, "/api/admin") {
			guarded(w, r)
			return
		}
		public(w, r)
	}))
	fmt.Println("ready")
	select {}
}
