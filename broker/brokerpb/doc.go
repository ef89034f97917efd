// Package brokerpb keeps the broker's wire contract, broker.proto, and the code that is generated from it; it never
// does anything itself.
package brokerpb
