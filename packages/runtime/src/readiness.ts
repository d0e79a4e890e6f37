import { classify } from '@sealfleet/failures'

/** A dependency that must answer before this process is ready. */
export interface HealthProbe {
  readonly name: string
  /** resolves when it answered; rejects or hangs otherwise */
  check(): Promise<unknown>
}

export interface Readiness {
  readonly ready: boolean
  readonly checks: Readonly<Record<string, 'ok' | 'unreachable'>>
  /** Unreachable dependencies by name, with failure code and summary. */
  readonly reasons: Readonly<Record<string, string>>
}

const PATIENCE_MS = 2_000

/** Runs all probes concurrently; one that takes more than two seconds counts as out of reach. Never throws. */
export async function readiness(probes: readonly HealthProbe[], patienceMs = PATIENCE_MS): Promise<Readiness> {
  const answers = await Promise.all(
    probes.map(async (probe) => [probe.name, await failureOf(probe, patienceMs)] as const),
  )
  const failed = answers.filter((answer): answer is readonly [string, string] => answer[1] !== undefined)
  return {
    ready: failed.length === 0,
    checks: Object.fromEntries(answers.map(([name, why]) => [name, why === undefined ? 'ok' : 'unreachable'])),
    reasons: Object.fromEntries(failed),
  }
}

async function failureOf(probe: HealthProbe, patienceMs: number): Promise<string | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve(`no answer in ${patienceMs / 1000} s`), patienceMs)
  })
  try {
    return await Promise.race([probe.check().then(() => undefined), late])
  } catch (error) {
    // The error itself may hold addresses and statements, so only code and summary are shown.
    const { code, failure } = classify(error, { during: probe.name === 'redis' ? 'redis' : 'database' })
    return `${code}: ${failure.summary}`
  } finally {
    clearTimeout(timer)
  }
}
