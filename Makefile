# Targets: build, test, check, bench, install, clean.
PREFIX ?= /usr/local
DESTDIR ?=

# Static: the executable is also the dispatcher, which runs in roots without its loader.
export CGO_ENABLED = 0

.PHONY: build test check bench install clean

build:
	go build -trimpath -o crossroot ./cmd/crossroot
	go build -trimpath -o crossroot-fetch ./cmd/crossroot-fetch

# Every test that this machine and user can run. STRICT=1: a skipped one is a failure. RUN=PATTERN: only some.
# PACKAGES=./internal/...: only there.
test:
	go run ./test/run $(if $(STRICT),-strict) $(if $(RUN),-run '$(RUN)') $(PACKAGES)

check:
	@test -z "$$(gofmt -l .)" || { echo 'not formatted (gofmt -w):'; gofmt -l .; exit 1; }
	go vet ./...
	GOARCH=arm64 go vet ./...
	@if command -v golangci-lint >/dev/null; then golangci-lint run ./...; \
	else echo 'golangci-lint is not installed: only gofmt and go vet looked at the source'; fi

bench:
	go run ./bench

install: build
	install -D -m 755 crossroot $(DESTDIR)$(PREFIX)/bin/crossroot
	install -m 755 crossroot-fetch $(DESTDIR)$(PREFIX)/bin/crossroot-fetch
	install -d $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/man/man5
	install -m 644 man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 man/*.5 $(DESTDIR)$(PREFIX)/share/man/man5

clean:
	rm -f crossroot crossroot-fetch
