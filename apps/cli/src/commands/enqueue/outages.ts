import { listWorkers, type WorkerRow } from '@sealfleet/records/upkeep'
import type { Records } from '@sealfleet/records'
import { humanDuration } from '../../output/units.js'
import { openBreakers, takesJobs } from '../status/processes.js'

/** The outage of Postgres as seen by the command itself. */
export const POSTGRES_OUT = 'Postgres does not answer this command'

/** Interval between two reads of the workers' reports, milliseconds. */
const LOOK_MS = 5_000

/**
 * Reports why a wait makes no progress: a dependency that this command or the workers cannot reach, or no worker at
 * all. Each outage is reported once when it begins and once when it ends, with its duration as seen by this command.
 */
export class Outages {
  readonly #records: Records
  readonly #say: (text: string) => void
  readonly #since = new Map<string, number>()
  #timer: NodeJS.Timeout | undefined

  constructor(records: Records, say: (text: string) => void) {
    this.#records = records
    this.#say = say
  }

  /** @param what the sentence that names the outage */
  begin(what: string): void {
    if (this.#since.has(what)) return
    this.#since.set(what, performance.now())
    this.#say(`${clock()} ${what}; the wait continues by itself`)
  }

  end(what: string): void {
    const began = this.#since.get(what)
    if (began === undefined) return
    this.#since.delete(what)
    this.#say(`${clock()} over after ${humanDuration(performance.now() - began)}: ${what}`)
  }

  /** Polls the workers' reports until stopped. */
  watch(): Disposable {
    const look = async (): Promise<void> => {
      try {
        this.#report(await listWorkers(this.#records))
      } catch {
        // The wait itself reports that the database is away.
      }
      this.#timer?.refresh()
    }
    this.#timer = setTimeout(() => void look(), LOOK_MS).unref()
    return {
      [Symbol.dispose]: () => {
        clearTimeout(this.#timer)
        this.#timer = undefined
      },
    }
  }

  #report(workers: readonly WorkerRow[]): void {
    const now = new Set(outagesOf(workers))
    for (const what of this.#since.keys()) if (what.startsWith(WORKERS) && !now.has(what)) this.end(what)
    for (const what of now) this.begin(what)
  }
}

const WORKERS = 'workers: '

/** What live workers report they cannot reach, one sentence each; or that no worker is running. */
export function outagesOf(workers: readonly WorkerRow[]): readonly string[] {
  const alive = workers.filter((one) => one.alive && takesJobs(one))
  if (alive.length === 0) return [`${WORKERS}none is running; start one, files stay queued`]
  const out = alive.flatMap(openBreakers).map(({ dependency, code }) => `${dependency} (${code})`)
  return [...new Set(out)].map((what) => `${WORKERS}they cannot reach ${what}`)
}

/** The time of day on this machine. */
function clock(): string {
  return new Date().toTimeString().slice(0, 8)
}
