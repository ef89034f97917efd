package handlers

import (
	"net/http"
	"time"
)

// Server returns a server for the public address. Its body and answer deadlines follow the client's progress
// (see [Config.StallTimeout]), and its Shutdown calls [API.Drain].
func (a *API) Server() *http.Server {
	s := newServer(a)
	s.RegisterOnShutdown(a.Drain)
	return s
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

func newServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    64 << 10,
		Protocols:         protocols(),
		BaseContext:       withListener,
	}
}
