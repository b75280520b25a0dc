module meshpack.example/servers

go 1.19
