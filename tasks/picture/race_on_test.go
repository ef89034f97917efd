//go:build race

package picture_test

// raceEnabled says that the race detector is on, which takes many times the time and memory.
const raceEnabled = true
