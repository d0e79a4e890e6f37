import { readSync } from 'node:fs'
import { isMainThread, Worker, workerData } from 'node:worker_threads'

/**
 * A thread that only waits for the end of a pipe whose other end the parent holds. When the parent dies, even by
 * SIGKILL, the kernel closes the pipe and this thread kills the process. It works also while the main thread hangs in a
 * synchronous call of the module, where no handler would ever run.
 */
export function watchParent(fd: number): void {
  const limits = { maxOldGenerationSizeMb: 8, maxYoungGenerationSizeMb: 2, codeRangeSizeMb: 4, stackSizeMb: 1 }
  const thread = new Worker(new URL(import.meta.url), { workerData: { lifeline: fd }, resourceLimits: limits })
  thread.unref()
}

function waitForEnd(fd: number): void {
  const byte = Buffer.alloc(1)
  for (;;) {
    try {
      if (readSync(fd, byte, 0, 1, null) === 0) break
    } catch (error) {
      // Not blocking after all: look again after a pause.
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) break
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200)
    }
  }
  process.kill(process.pid, 'SIGKILL')
}

if (!isMainThread && typeof workerData === 'object' && workerData !== null && 'lifeline' in workerData) {
  waitForEnd(Number((workerData as { lifeline: unknown }).lifeline))
}
