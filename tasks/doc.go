// Package tasks implements what is done to each kind of submission: how it is decoded and checked, how it
// becomes rows, its work, and the event that tells of it. [Kind] has everything that differs between kinds.
//
// It has nothing to do with queues or HTTP, and it never changes what a client handed in.
package tasks
