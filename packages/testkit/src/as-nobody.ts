/** The user without rights on Linux systems. */
const NOBODY = 65_534

/**
 * Runs a task as a user without rights, since root is never refused; if the tests run as another user, as that user.
 * Changes the user of the whole process meanwhile.
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
