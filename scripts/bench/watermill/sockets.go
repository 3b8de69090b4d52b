package main

import (
	"net/http"
	"sync"

	"github.com/gorilla/websocket"
)

// The WebSockets of customers, by the customer whose token is in the URL.
type sockets struct {
	upgrader websocket.Upgrader
	mutex    sync.Mutex
	open     map[string]*websocket.Conn
}

func newSockets() *sockets {
	return &sockets{open: map[string]*websocket.Conn{}}
}

func (s *sockets) ServeHTTP(response http.ResponseWriter, request *http.Request) {
	socket, err := s.upgrader.Upgrade(response, request, nil)
	// The upgrader has answered.
	if err != nil {
		return
	}
	customer := request.URL.Query().Get("token")
	s.mutex.Lock()
	s.open[customer] = socket
	s.mutex.Unlock()
	// A connection that is not read does not notice its end.
	for err == nil {
		_, _, err = socket.NextReader()
	}
	s.mutex.Lock()
	delete(s.open, customer)
	s.mutex.Unlock()
}

// One write at a time, as the package demands.
func (s *sockets) send(customer string, text []byte) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if socket, ok := s.open[customer]; ok {
		// Its reader notices the error, too.
		_ = socket.WriteMessage(websocket.TextMessage, text)
	}
}
