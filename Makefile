# Every target is one thing a person may want; `go run .` and `go test ./...` need none of them.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOFUMPT = mvdan.cc/gofumpt@v0.10.0

.PHONY: build test race lint fuzz mutate kill soak bench browser gozero peers pictures proto ci

build: ## a static binary, ./casepress
	CGO_ENABLED=0 go build -trimpath -tags nomsgpack -ldflags "-s -w -X main.version=$(VERSION)" -o casepress .

test: ## no server, no network
	go test ./...

race:
	CGO_ENABLED=1 go test -race ./...

lint:
	@test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	go vet ./...
	go run $(STATICCHECK) ./...

FUZZTIME ?= 20s
fuzz: ## every fuzz target for FUZZTIME
	@set -e; for p in $$(go list ./...); do \
	  for f in $$(go test -list '^Fuzz' $$p | grep ^Fuzz || true); do \
	    echo "$$p $$f"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 5x $$p; \
	  done; done

MUTATIONS ?= 1000
mutate: ## MUTATIONS altered pictures of every format: agreeing parsers, bounded bytes, memory and time
	CASEPRESS_MUTATIONS=$(MUTATIONS) go test -count=1 -run 'Mutated' -timeout 60m ./tasks/picture

kill: ## 50 rounds of SIGKILL on the real binary under load
	CASEPRESS_KILL_ROUNDS=50 go test -count=1 -v -run TestKill -timeout 20m .

SOAK ?= 10m
soak: ## load for SOAK, watching goroutines, files and memory
	CASEPRESS_SOAK=$(SOAK) go test -count=1 -v -run TestSoak -timeout 60m .

bench: ## our own benchmarks; docs/performance.md says how to read them
	go test -run '^$$' -bench . -benchmem ./...

browser: ## the page in a real browser; needs node and chromium
	interop/browser/run.sh

gozero: ## go-zero services on the broker; a module of its own, slow to compile
	cd interop/gozero && go vet ./... && go test ./...

peers: ## casepress beside JetStream and Redis in one run
	cd interop/bench && go run .

pictures: ## casepress beside libvips, ImageMagick, img2pdf and the naive way; gets its photos first
	cd interop/pictures && go run . -fetch

proto: ## regenerates broker/brokerpb; needs protoc, protoc-gen-go v1.36.12, protoc-gen-go-grpc v1.6.2
	PATH="$$PATH:$$(go env GOPATH)/bin" protoc -I . --go_out=. --go_opt=paths=source_relative \
	  --go-grpc_out=. --go-grpc_opt=paths=source_relative broker/brokerpb/broker.proto

ci:
	.ci/run
