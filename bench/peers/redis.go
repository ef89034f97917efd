package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// noRedis says why Redis cannot be measured, or nothing.
func noRedis() string {
	if _, err := exec.LookPath("redis-server"); err != nil {
		return "redis-server is not installed (Debian: apt-get install redis-server)"
	}
	return ""
}

// newRedis starts a server that syncs its file of commands before it answers, and a client with so many connections.
func newRedis(dir string, connections int, network string) (*redis.Client, func() error, error) {
	socket, port := filepath.Join(dir, "socket"), "0"
	address := socket
	if network == "tcp" {
		var err error
		if address, port, err = freePort(); err != nil {
			return nil, nil, err
		}
	}
	command := exec.Command("redis-server", "--dir", dir, "--unixsocket", socket, "--port", port, "--bind", "127.0.0.1",
		"--save", "", "--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0",
		"--maxclients", "4096", "--loglevel", "warning")
	if err := command.Start(); err != nil {
		return nil, nil, err
	}
	client := redis.NewClient(&redis.Options{
		Network: network, Addr: address, PoolSize: connections, DialTimeout: time.Minute, ReadTimeout: time.Minute, PoolTimeout: time.Minute,
	})
	end := func() error {
		err := client.Close()
		_ = command.Process.Kill()
		_ = command.Wait() // it reports the kill
		return err
	}
	for range 200 {
		if client.Ping(context.Background()).Err() == nil {
			return client, end, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil, nil, errors.Join(errors.New("redis-server does not get ready"), end())
}

func freePort() (address, port string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	address, port = l.Addr().String(), strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	return address, port, l.Close()
}

func add(ctx context.Context, client *redis.Client) error {
	return client.XAdd(ctx, &redis.XAddArgs{Stream: topic, Values: []any{"p", payload}}).Err()
}

func openRedis(connections int, network string) opener {
	return func(dir string) (func() error, func() error, error) {
		client, end, err := newRedis(dir, connections, network)
		if err != nil {
			return nil, nil, err
		}
		return func() error { return add(context.Background(), client) }, end, nil
	}
}

func pingRedis(ctx context.Context, dir string) (func() (ping, error), func() error, error) {
	client, end, err := newRedis(dir, 4, "unix")
	if err != nil {
		return nil, nil, err
	}
	if err := client.XGroupCreateMkStream(ctx, topic, "g", "0").Err(); err != nil {
		return nil, nil, errors.Join(err, end())
	}
	consume := func() (ping, error) {
		read, err := client.XReadGroup(ctx, &redis.XReadGroupArgs{
			Group: "g", Consumer: "c", Streams: []string{topic, ">"}, Count: 1, Block: 10 * time.Second,
		}).Result()
		if err != nil {
			return ping{}, err
		}
		p := ping{handled: time.Now()}
		if len(read) == 0 || len(read[0].Messages) == 0 {
			return ping{}, fmt.Errorf("redis gave no message")
		}
		err = client.XAck(ctx, topic, "g", read[0].Messages[0].ID).Err()
		p.acked = time.Now()
		p.durable = p.acked
		return p, err
	}
	return pingPong(func() error { return add(ctx, client) }, consume), end, nil
}
