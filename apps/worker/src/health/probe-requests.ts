import { probeRequest } from '@sealfleet/queue'
import type { Redis } from 'ioredis'

/** How often a worker that waits for a dependency checks for a probe request, milliseconds. */
const LOOK_MS = 1_000

export interface ProbeRequestPorts {
  readonly connection: Pick<Redis, 'get' | 'status'>
  readonly prefix: string
  /** Whether any breaker is open: without one, Redis is not polled. */
  readonly waiting: () => boolean
  readonly probeNow: () => void
  readonly everyMs?: number
}

/**
 * Obeys `sealfleet queue probe`: a key in Redis, since a waiting worker may have lost everything else, and one that has
 * lost Redis probes it within seconds anyway. (An access list without channels forbids publishing.) Dispose stops it.
 */
export function heedProbeRequests(ports: ProbeRequestPorts): Disposable {
  const { connection, prefix, everyMs = LOOK_MS } = ports
  let seen: string | null = null
  let looking = false
  const look = async (): Promise<void> => {
    try {
      const request = await probeRequest(connection, prefix)
      if (request === null || request === seen) return
      seen = request
      ports.probeNow()
    } catch {
      // Redis's own breaker reports a Redis that does not answer.
      return
    } finally {
      looking = false
    }
  }
  const timer = setInterval(() => {
    if (looking || !ports.waiting() || connection.status !== 'ready') return
    looking = true
    void look()
  }, everyMs).unref()
  return { [Symbol.dispose]: () => clearInterval(timer) }
}
