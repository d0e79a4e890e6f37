/**
 * Contestants run in their own processes, one at a time: garbage collection of one does not slow another, and the
 * process that starts `openssl` is small (a fork marks every page of its parent read-only, and each page then costs a
 * fault at its next write).
 */

/**
 * Answers every message `name` with the result of `contestants[name]`, in GiB/s; ends with its parent.
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
 * A clock of core time: seconds that this process (its helper threads included) spent on a core, since the call. On an
 * idle core this is elapsed time; otherwise the time of other processes is not counted.
 */
export function coreClock() {
  const start = process.cpuUsage()
  return () => {
    const { user, system } = process.cpuUsage(start)
    return (user + system) / 1e6
  }
}
