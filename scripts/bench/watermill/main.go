// The path of an order as in the store, with Watermill and PostgreSQL: the same services, topics and hops, an outbox
// (Watermill's forwarder) and an inbox in each service's own database, and nothing else. `bun run bench watermill` measures
// the store beside it.
//
// Usage: watermill SERVICE. PORT is where it listens, KAFKA_BROKERS and POSTGRES are where its broker and its database are.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"
)

var services = map[string]func(context.Context, *node) (http.Handler, error){
	"api-gateway":  gateway,
	"order":        order,
	"inventory":    inventory,
	"notification": notification,
}

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	name := strings.Join(os.Args[1:], " ")
	service, ok := services[name]
	if !ok {
		return fmt.Errorf("there is no service %q", name)
	}
	n, err := connect(ctx, name, os.Getenv("POSTGRES"), strings.Split(os.Getenv("KAFKA_BROKERS"), ","))
	if err != nil {
		return err
	}
	handler, err := service(ctx, n)
	if err != nil {
		return err
	}
	failed := make(chan error)
	go func() { failed <- n.run(ctx) }()
	go func() {
		mux := http.NewServeMux()
		mux.HandleFunc("GET /readiness", n.readiness)
		mux.Handle("/", handler)
		failed <- http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), mux)
	}()
	return <-failed
}
