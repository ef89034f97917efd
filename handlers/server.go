package handlers

import (
	"context"
	"net"
	"net/http"
	"time"
)

// Server returns a server for the public address. Its body and answer deadlines follow the client's progress
// (see [Config.StallTimeout]), and its Shutdown calls [API.Drain].
func (a *API) Server() *Server {
	s := newServer(a)
	s.Handler = a.connections.boundRequests(s.Handler)
	s.ConnState = a.connections.changed
	s.RegisterOnShutdown(a.Drain)
	return &Server{s, a.connections}
}

// AdminServer returns a server for the private address.
func (a *API) AdminServer() *http.Server { return newServer(a.Admin()) }

// protocols are HTTP/1.1 and HTTP/2 without TLS, for proxies and apps that know that the server speaks it.
// For TLS, put a proxy in front.
func protocols() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	return p
}

// writeBuffer is how many bytes of an answer the system keeps for a client that has not taken them; Linux takes twice as many.
// It lets a writer go on only when a third of them is free: with the 4 MB that it allows by itself, the writer would wait longer
// than the stall time for a client that takes 20 kB every second. The price is speed over a long way: no more than that is on
// its way at a time, which is about 1 MB a second if an answer to it takes 100 ms.
const writeBuffer = 64 << 10

// withWriteBuffer bounds what the system keeps for a connection, and tells its requests which it is if it counts. An error needs no answer: the connection has broken then.
func withWriteBuffer(ctx context.Context, c net.Conn) context.Context {
	if counted, ok := c.(*countedConn); ok {
		ctx, c = context.WithValue(ctx, connectionKey{}, counted), counted.Conn
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(writeBuffer)
	}
	return ctx
}

// maxHeader bounds the header of a request, in bytes; net/http takes 4 KiB more.
const maxHeader = 16 << 10

func newServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    maxHeader,
		Protocols:         protocols(),
		HTTP2:             http2Limits(),
		BaseContext:       withListener,
		ConnContext:       withWriteBuffer,
	}
}
