package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	placeOrder     = "PlaceOrder"
	orderPlaced    = "OrderPlaced"
	stockReserved  = "StockReserved"
	orderConfirmed = "OrderConfirmed"

	products = 12
	stock    = 1_000_000_000
)

func gateway(ctx context.Context, n *node) (http.Handler, error) {
	if _, err := n.pool.Exec(ctx, "CREATE TABLE orders (id text PRIMARY KEY, status text)"); err != nil {
		return nil, err
	}
	err := n.consume("order.events", func(ctx context.Context, w *work, e event) (func(), error) {
		_, err := w.Exec(ctx, "UPDATE orders SET status = $1 WHERE id = $2", e.Type, e.Data.OrderID)
		return nil, err
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /products", func(response http.ResponseWriter, _ *http.Request) {
		type product struct {
			ProductID string `json:"productId"`
			Available int    `json:"available"`
		}
		catalogue := make([]product, products)
		for i := range catalogue {
			catalogue[i] = product{productID(i), stock}
		}
		answer(response, http.StatusOK, catalogue)
	})
	mux.HandleFunc("POST /sessions", func(response http.ResponseWriter, request *http.Request) {
		var session struct {
			CustomerID string `json:"customerId"`
		}
		if err := json.NewDecoder(request.Body).Decode(&session); err != nil {
			http.Error(response, err.Error(), http.StatusBadRequest)
			return
		}
		answer(response, http.StatusCreated, map[string]string{"token": session.CustomerID})
	})
	mux.HandleFunc("POST /orders", func(response http.ResponseWriter, request *http.Request) {
		var placed orderData
		if err := json.NewDecoder(request.Body).Decode(&placed); err != nil {
			http.Error(response, err.Error(), http.StatusBadRequest)
			return
		}
		placed.CustomerID = strings.TrimPrefix(request.Header.Get("authorization"), "Bearer ")
		err := n.transact(request.Context(), func(w *work) error {
			accepted, err := w.Exec(request.Context(),
				"INSERT INTO orders VALUES ($1, 'accepted') ON CONFLICT DO NOTHING", placed.OrderID)
			if err != nil || accepted.RowsAffected() == 0 {
				return err
			}
			return w.emit("order.commands", placeOrder, placed)
		})
		if err != nil {
			http.Error(response, err.Error(), http.StatusInternalServerError)
			return
		}
		answer(response, http.StatusAccepted, map[string]string{"orderId": placed.OrderID})
	})
	return mux, nil
}

func order(ctx context.Context, n *node) (http.Handler, error) {
	_, err := n.pool.Exec(ctx, "CREATE TABLE orders (id text PRIMARY KEY, status text, data jsonb)")
	if err != nil {
		return nil, err
	}
	err = n.consume("order.commands", func(ctx context.Context, w *work, e event) (func(), error) {
		_, err := w.Exec(ctx, "INSERT INTO orders VALUES ($1, 'pending', $2) ON CONFLICT DO NOTHING", e.Data.OrderID, e.Data)
		if err != nil {
			return nil, err
		}
		return nil, w.emit("order.events", orderPlaced, e.Data)
	})
	if err != nil {
		return nil, err
	}
	err = n.consume("inventory.events", func(ctx context.Context, w *work, e event) (func(), error) {
		var placed orderData
		row := w.QueryRow(ctx, "UPDATE orders SET status = 'confirmed' WHERE id = $1 RETURNING data", e.Data.OrderID)
		if err := row.Scan(&placed); err != nil {
			return nil, err
		}
		placed.Items = []line{}
		return nil, w.emit("order.events", orderConfirmed, placed)
	})
	return http.NotFoundHandler(), err
}

func inventory(ctx context.Context, n *node) (http.Handler, error) {
	_, err := n.pool.Exec(ctx, `
		CREATE TABLE stock (id text PRIMARY KEY, available integer);
		CREATE TABLE reservations (id text PRIMARY KEY, items jsonb)`)
	if err != nil {
		return nil, err
	}
	rows := make([][]any, products)
	for i := range rows {
		rows[i] = []any{productID(i), stock}
	}
	columns := []string{"id", "available"}
	if _, err = n.pool.CopyFrom(ctx, pgx.Identifier{"stock"}, columns, pgx.CopyFromRows(rows)); err != nil {
		return nil, err
	}
	err = n.consume("order.events", func(ctx context.Context, w *work, e event) (func(), error) {
		if e.Type != orderPlaced {
			return nil, nil
		}
		// In one order for all: transactions at the same time wait for each other's rows, and never in a circle.
		items := slices.SortedFunc(slices.Values(e.Data.Items), func(one, other line) int {
			return cmp.Compare(one.ProductID, other.ProductID)
		})
		for _, item := range items {
			_, err := w.Exec(ctx, "UPDATE stock SET available = available - $1 WHERE id = $2", item.Quantity, item.ProductID)
			if err != nil {
				return nil, err
			}
		}
		if _, err := w.Exec(ctx, "INSERT INTO reservations VALUES ($1, $2)", e.Data.OrderID, items); err != nil {
			return nil, err
		}
		reserved := e.Data
		reserved.Items = []line{}
		return nil, w.emit("inventory.events", stockReserved, reserved)
	})
	return http.NotFoundHandler(), err
}

func notification(ctx context.Context, n *node) (http.Handler, error) {
	_, err := n.pool.Exec(ctx,
		"CREATE TABLE notifications (seq bigserial PRIMARY KEY, customer text, notification jsonb)")
	if err != nil {
		return nil, err
	}
	customers := newSockets()
	types := map[string]string{orderPlaced: "order.received", orderConfirmed: "order.confirmed"}
	err = n.consume("order.events", func(ctx context.Context, w *work, e event) (func(), error) {
		text, err := json.Marshal(map[string]string{
			"orderId": e.Data.OrderID, "type": types[e.Type], "at": e.Time.Format(time.RFC3339Nano),
		})
		if err != nil {
			return nil, err
		}
		_, err = w.Exec(ctx, "INSERT INTO notifications (customer, notification) VALUES ($1, $2)", e.Data.CustomerID, text)
		return func() { customers.send(e.Data.CustomerID, text) }, err
	})
	return customers, err
}

func productID(index int) string {
	return fmt.Sprintf("P%d", index)
}

func answer(response http.ResponseWriter, status int, body any) {
	response.Header().Set("content-type", "application/json")
	response.WriteHeader(status)
	// A client that is gone needs no answer.
	_ = json.NewEncoder(response).Encode(body)
}
