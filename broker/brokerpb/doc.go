// Package brokerpb keeps the broker's wire contract, broker.proto, the code that is generated from it, and the codec that
// both ends use; it never does anything itself.
package brokerpb
