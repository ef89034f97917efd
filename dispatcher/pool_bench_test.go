package dispatcher_test

import (
	"fmt"
	"sync"
	"testing"
)

// BenchmarkPool compares the two ways to hand tasks to workers over channels:
// all workers receive from one channel (what a lane does), or the classic pool
// in which every worker has a channel of its own and offers it, when free, on a
// channel of channels. The tasks do nothing, so only the handing over counts.
func BenchmarkPool(b *testing.B) {
	for _, workers := range []int{2, 16, 128} {
		b.Run(fmt.Sprintf("shared/workers=%d", workers), func(b *testing.B) { sharedPool(b, workers) })
		b.Run(fmt.Sprintf("chanchan/workers=%d", workers), func(b *testing.B) { channelPool(b, workers) })
	}
}

type nothing struct{ done *sync.WaitGroup }

func sharedPool(b *testing.B, workers int) {
	tasks := make(chan nothing, 16)
	var crew, done sync.WaitGroup
	for range workers {
		crew.Go(func() {
			for task := range tasks {
				task.done.Done()
			}
		})
	}
	for b.Loop() {
		done.Add(1)
		tasks <- nothing{&done}
	}
	close(tasks)
	crew.Wait()
	done.Wait()
}

func channelPool(b *testing.B, workers int) {
	tasks := make(chan nothing, 16)
	free := make(chan chan nothing, workers)
	var crew, done sync.WaitGroup
	for range workers {
		crew.Go(func() {
			own := make(chan nothing)
			for {
				free <- own
				task, ok := <-own
				if !ok {
					return
				}
				task.done.Done()
			}
		})
	}
	var dispatch sync.WaitGroup
	dispatch.Go(func() {
		for task := range tasks {
			own := <-free
			own <- task
		}
		for range workers {
			close(<-free)
		}
	})
	for b.Loop() {
		done.Add(1)
		tasks <- nothing{&done}
	}
	close(tasks)
	dispatch.Wait()
	crew.Wait()
	done.Wait()
}
