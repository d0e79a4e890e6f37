/** The user without rights of Linux systems. */
const NOBODY = 65_534

/**
 * Runs a task as a user who owns nothing, since root is refused nothing; where tests run as another user, as that one. The
 * whole process is that user meanwhile.
 */
export async function asNobody<T>(task: () => T | Promise<T>): Promise<T> {
  if (process.geteuid?.() !== 0) return task()
  process.seteuid?.(NOBODY)
  try {
    return await task()
  } finally {
    process.seteuid?.(0)
  }
}
