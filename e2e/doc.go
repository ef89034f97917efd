// Package e2e implements the tests of the whole service: the real program, started, stopped and killed, and the
// whole service in this process, on disks that fail or lose power. It has nothing to import.
package e2e
