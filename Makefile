# Each target is one thing that a person may want; `go run .` and `go test ./...` need none of them.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
BUILD = CGO_ENABLED=0 go build -trimpath -tags nomsgpack -ldflags "-s -w -X main.version=$(VERSION)"

# golangci-lint takes minutes to compile, so it is kept, by version, outside of the repository.
LINT_VERSION = v2.15.0
TOOLS ?= $(HOME)/.cache/casepress
LINT = $(TOOLS)/golangci-lint-$(LINT_VERSION)/golangci-lint

.DEFAULT_GOAL = build
.PHONY: help build release test race example purego lint fuzz mutate kill damage soak readme bench peers burst pictures limits gozero kafka webhooks mail browser fhir clients grpc compare modules proto ci clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

build: ## a static binary, ./casepress (the default)
	$(BUILD) -o casepress .

release: ## static binaries for Linux, macOS and Windows in dist/, with licences and SHA-256 sums
	.ci/release "$(VERSION)"

PACKAGES ?= ./...
test: ## every test that needs no server and no network; TESTFLAGS=-v shows them, PACKAGES names some packages
	go test -timeout 15m $(TESTFLAGS) $(PACKAGES)

# SQLite in Go is C that was translated: it has locks of its own, and watching each of its loads and stores takes most of the time.
UNWATCHED = -gcflags=modernc.org/sqlite/lib=-race=false -gcflags=modernc.org/libc=-race=false
race: ## the same in this process with the race detector and, where chance decides, fewer rounds; needs a C compiler
	CGO_ENABLED=1 go test -race -vet=off -short $(UNWATCHED) -timeout 20m $(TESTFLAGS) $(PACKAGES)

purego: ## pictures without assembly
	go test -tags purego ./tasks/picture/...

example: ## tests with the example of a new kind, tasks/vitalsigns.go, in the registry
	go test -short -vet=off -tags examplekind $(TESTFLAGS) ./tasks ./store ./dispatcher/... ./handlers

lint: $(LINT) ## gofmt, go.mod and go.sum everywhere, and golangci-lint with .golangci.yml; the first time it compiles for minutes
	@test -z "$$(gofmt -l .)" || { echo "gofmt -w these:"; gofmt -l .; exit 1; }
	@for m in . bench/burst bench/peers bench/pictures interop/gozero interop/webhooks; do (cd $$m && go mod tidy -diff) || { echo "go mod tidy in $$m"; exit 1; }; done
	$(LINT) run ./...

$(LINT):
	GOBIN=$(@D) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)

FUZZTIME ?= 20s
FUZZBUILD ?= -fuzz .
fuzz: ## every fuzz target for FUZZTIME; with FUZZBUILD= no package is compiled again for coverage, and mutations are blind
	@set -e; top=$$PWD; binary=$$(mktemp); trap 'rm -f "$$binary"' EXIT; cache=$$(go env GOCACHE)/fuzz/casepress; \
	for p in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
	  go test -c $(FUZZBUILD) -o "$$binary" "$$p"; cd "$$p"; \
	  for f in $$("$$binary" -test.list '^Fuzz'); do \
	    echo "$$p $$f"; "$$binary" -test.run '^$$' -test.fuzz "^$$f\$$" -test.fuzztime $(FUZZTIME) -test.fuzzminimizetime 5x -test.fuzzcachedir "$$cache/$$p"; \
	  done; cd "$$top"; \
	done

MUTATIONS ?= 1000
mutate: ## MUTATIONS altered pictures of each format: agreeing parsers, bounded bytes, memory and time; go test runs 20
	CASEPRESS_MUTATIONS=$(MUTATIONS) go test -count=1 -v -run Mutated -timeout 60m ./tasks/picture

KILLS ?= 50
kill: ## KILLS rounds of SIGKILL on the real binary under load
	CASEPRESS_KILL_ROUNDS=$(KILLS) go test -count=1 -v -run 'TestKill|AcrossKills' -timeout 30m ./e2e

DAMAGES ?= 3000
damage: ## DAMAGES rounds of one or two files of a data folder damaged, removed or older; go test runs 30
	CASEPRESS_DAMAGE_ROUNDS=$(DAMAGES) go test -count=1 -v -run '^TestDamage$$' -timeout 60m ./e2e

SOAK ?= 10m
soak: ## load for SOAK, watching goroutines, files and memory
	CASEPRESS_SOAK=$(SOAK) go test -count=1 -v -run TestSoak -timeout 60m ./e2e

readme: ## the README's commands as they stand, in a fresh clone; needs curl and the PDF tools
	.ci/readme

bench: ## our own benchmarks; docs/performance.md says how to read them
	go test -run '^$$' -bench . -benchmem ./...

peers: ## casepress beside JetStream and Redis in one run
	cd bench/peers && go run .

burst: ## 10,000 questionnaires at once, beside peers and killed; PHOTOS as for limits, PostgreSQL 15 if it is there
	cd bench/burst && go run . -photos "$(abspath $(PHOTOS))"

pictures: ## casepress beside libvips, ImageMagick, img2pdf and the naive way; gets its photos first
	cd bench/pictures && go run . -fetch

PHOTOS ?=
CASES ?=
limits: ## hostile files and 50 HEIC photos in a cgroup of 512 MiB; PHOTOS is a folder with a 12 MP *.heic, CASES one with more hostile files
	go run ./bench/limits -photos "$(PHOTOS)" -cases "$(CASES)"

gozero: ## go-zero services on the broker, and on a real Kafka once make kafka has got it; a module of its own, slow to compile
	cd interop/gozero && CASEPRESS_KAFKA_CLASSPATH="$$(cat "$(TOOLS)/classpath/kafka" 2>/dev/null)" go test -vet=all -timeout 20m $(TESTFLAGS) ./...

kafka: ## relay and trial progress on a real Apache Kafka, which is killed meanwhile; needs a JDK and mvn
	interop/kafka/run.sh $(TESTFLAGS)

webhooks: ## what is sent to endpoints, held against the reference library of Standard Webhooks; a module of its own
	cd interop/webhooks && go test -vet=all $(TESTFLAGS) ./...

mail: ## alerts handed to a mail server that others have written, and read by their programs; .ci/install gets what it needs
	interop/mail/run.sh $(TESTFLAGS)

browser: ## the page in a real browser; needs node and chromium
	interop/browser/run.sh

fhir: ## LHC-Forms on our Questionnaires, HAPI's validator on all FHIR resources; needs node, chromium and a JDK; .ci/install gets the rest
	interop/fhir/run.sh

grpc: ## the Python and the Node program of docs/broker.md; .ci/install gets what they need
	interop/grpc/run.sh

clients: ## generated clients, Postman's runner, linters of the contract and four HTTP stacks; .ci/install gets them
	interop/clients/run.sh

compare: ## every picture in five public packages, shown by casepress, libvips and Pillow; needs libvips-tools, pip, npm and mvn
	[ -x "$(TOOLS)/python/bin/python" ] || python3 -m venv "$(TOOLS)/python"
	"$(TOOLS)/python/bin/pip" install -q --disable-pip-version-check -r interop/pictures/requirements.txt
	PATH="$(TOOLS)/python/bin:$$PATH" go run ./interop/pictures

modules: ## vets and tests what lies beside the peers, in modules of its own
	cd bench/burst && go test -vet=all $(TESTFLAGS) ./...
	cd bench/peers && go test -vet=all $(TESTFLAGS) ./...
	cd bench/pictures && go test -vet=all $(TESTFLAGS) ./...

proto: ## regenerates broker/brokerpb; needs protoc, protoc-gen-go v1.36.12, protoc-gen-go-grpc v1.6.2
	PATH="$$PATH:$$(go env GOPATH)/bin" protoc -I . --go_out=. --go_opt=paths=source_relative \
	  --go-grpc_out=. --go-grpc_opt=paths=source_relative broker/brokerpb/broker.proto

ci: ## everything that must hold, on a new machine (Debian): installs what it needs
	.ci/run

clean: ## removes what build and release made
	rm -rf casepress dist
