# syntax=docker/dockerfile:1
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -tags nomsgpack -ldflags "-s -w -X main.version=${VERSION}" -o /casepress . \
 && mkdir /data

FROM scratch
COPY --from=build /casepress /casepress
# The folder must belong to the user, or a fresh volume would be root's.
COPY --from=build --chown=65532:65532 /data /data
USER 65532:65532
# The broker's port stays on loopback until it has authentication; set
# CASEPRESS_GRPC_ADDR=0.0.0.0:9090 only on a network of your own.
ENV CASEPRESS_HTTP_ADDR=0.0.0.0:8080 \
    CASEPRESS_DATA_DIR=/data \
    CASEPRESS_LOG_FORMAT=json
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["/casepress", "health"]
ENTRYPOINT ["/casepress"]
