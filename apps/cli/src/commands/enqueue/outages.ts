import { listWorkers, type WorkerRow } from '@sealfleet/records/upkeep'
import type { Records } from '@sealfleet/records'
import { humanDuration } from '../../output/units.js'
import { openBreakers, takesJobs } from '../status/processes.js'

/** What is out for a command itself. */
export const POSTGRES_OUT = 'Postgres does not answer this command'

/** Between two looks at what workers report, milliseconds. */
const LOOK_MS = 5_000

/**
 * Says what a wait waits for: a dependency that this command or the workers cannot reach, or no worker at all. Each outage is
 * said once when it begins and once when it is over, with how long it took as far as this command has seen it.
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

  /** @param what names the outage and is its sentence */
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

  /** Looks at the workers' reports now and then, until stopped. */
  watch(): Disposable {
    const look = async (): Promise<void> => {
      try {
        this.#report(await listWorkers(this.#records))
      } catch {
        // The wait itself says that the database is away.
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

/** What live workers say they cannot reach, a sentence each; that there is none, when there is none. */
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
