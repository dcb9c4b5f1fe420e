// A real server of the MongoDB protocol for the tests: FerretDB 1 with its SQLite backend,
// listening with TLS, or without where no certificate is given.
//
// It is not a general launcher: no authentication, no metrics, no telemetry.
// Everything it writes lives in the directory given by -dir.
package main

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	listen := flag.String("listen", "", "address of the listener, host:port")
	cert := flag.String("cert", "", "certificate chain, PEM; empty for no TLS")
	key := flag.String("key", "", "private key, PEM")
	dir := flag.String("dir", "", "existing, empty directory for the database files")
	flag.Parse()

	listener := ferretdb.ListenerConfig{TCP: *listen}
	if *cert != "" {
		listener = ferretdb.ListenerConfig{TLS: *listen, TLSCertFile: *cert, TLSKeyFile: *key}
	}
	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  listener,
		Logger:    slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Handler:   "sqlite",
		SQLiteURL: "file:" + *dir + "/",
	})
	if err != nil {
		slog.Error("cannot start", "error", err)
		os.Exit(1)
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := server.Run(ctx); err != nil {
		slog.Error("stopped", "error", err)
		os.Exit(1)
	}
}
