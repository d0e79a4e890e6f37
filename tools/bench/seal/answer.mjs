/**
 * Contestants run in processes of their own, one at a time: their garbage is not swept in each other's time, and the
 * process that starts `openssl` is small (a fork marks every page of its parent read-only, and each page then costs a
 * fault at its next write).
 */

/**
 * Answers every message `name` with what `contestants[name]` resolves to, in GiB/s; ends with its parent.
 * @param {Record<string, () => Promise<number>>} contestants
 */
export function answer(contestants) {
  process.on('message', (/** @type {string} */ name) => {
    const contestant = contestants[name]
    if (!contestant) throw new Error(`no contestant ${name}`)
    contestant().then(
      (result) => process.send?.(result),
      (error) => {
        console.error(error)
        process.exit(1)
      },
    )
  })
  process.on('disconnect', () => process.exit(0))
}

/**
 * A clock of core time: seconds that this process (its helper threads included) spent on a core, since the call. Where
 * nothing else wants the core it is elapsed time; where something does, that something is not measured.
 */
export function coreClock() {
  const start = process.cpuUsage()
  return () => {
    const { user, system } = process.cpuUsage(start)
    return (user + system) / 1e6
  }
}
