/** One thing that must answer before this process is ready. */
export interface Probe {
  readonly name: string
  /** resolves when it answered; rejects or hangs otherwise */
  check(): Promise<unknown>
}

export interface Readiness {
  readonly ready: boolean
  readonly checks: Readonly<Record<string, 'ok' | 'unreachable'>>
}

const PATIENCE_MS = 2_000

/** Asks all probes side by side; one that takes more than two seconds counts as out of reach. Never throws. */
export async function readiness(probes: readonly Probe[], patienceMs = PATIENCE_MS): Promise<Readiness> {
  const checks = await Promise.all(
    probes.map(async (probe) => [probe.name, (await answers(probe, patienceMs)) ? 'ok' : 'unreachable'] as const),
  )
  return { ready: checks.every(([, state]) => state === 'ok'), checks: Object.fromEntries(checks) }
}

async function answers(probe: Probe, patienceMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), patienceMs)
  })
  try {
    return await Promise.race([probe.check().then(() => true), late])
  } catch {
    return false // why is in the log of whoever owns the dependency; a probe's answer is yes or no
  } finally {
    clearTimeout(timer)
  }
}
