# needs: go
set -eu
export HOME=$PWD GOCACHE=$PWD/cache GOFLAGS=-mod=mod GO111MODULE=off
cat > t.go <<'G'
package main

import ("fmt"; "io"; "net"; "net/http"; "os/exec"; "sync"; "time")

func main() {
	var wg sync.WaitGroup; var mu sync.Mutex; sum := 0
	for i := 0; i < 1000; i++ { wg.Add(1); go func(i int) { defer wg.Done(); time.Sleep(time.Millisecond); mu.Lock(); sum += i; mu.Unlock() }(i) }
	wg.Wait(); fmt.Println(sum)
	l, err := net.Listen("tcp", "127.0.0.1:0"); if err != nil { panic(err) }
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "path ", r.URL.Path) }))
	for i := 0; i < 3; i++ { r, err := http.Get(fmt.Sprintf("http://%s/%d", l.Addr(), i)); if err != nil { panic(err) }; b, _ := io.ReadAll(r.Body); fmt.Println(string(b)) }
	out, err := exec.Command("sh", "-c", "echo run; exit 2").Output(); fmt.Printf("%s%v\n", out, err)
}
G
go build -o t t.go; ./t
