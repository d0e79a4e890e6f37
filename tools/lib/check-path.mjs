/** Which folders the private services can use: checked before the first of them starts. */
import { Refusal } from './say.mjs'

/**
 * Throws a Refusal for a path that a setting or a service's configuration cannot express: SEALFLEET_ROOTS separates by
 * commas, SoftHSM's configuration cuts a path at `=`, and .sealfleet/env has no quoting that a shell, Node and our own
 * reader share for an apostrophe beside one of `" $ \ `` ` ``. Spaces, apostrophes alone, letters of any script and
 * `$`, `"`, `\` alone are fine.
 *
 * @param {string} path absolute
 * @param {string} what e.g. `this checkout`
 * @param {{ services?: boolean }} [use] `services`: their data is to lie below it
 */
export function checkPath(path, what, { services = false } = {}) {
  const fault = pathFault(path, services)
  if (fault !== undefined)
    throw new Refusal(
      `The path of ${what} ${fault}: ${JSON.stringify(path)}.\nNothing was started. Move it, and try again.`,
    )
}

/** @param {string} path @param {boolean} services */
function pathFault(path, services) {
  if (/[\p{Cc}\p{Zl}\p{Zp}]/u.test(path)) return 'holds a control character or a line break'
  if (path.includes(',')) return 'holds a comma, which separates roots in SEALFLEET_ROOTS'
  if (services && path.includes('=')) return "holds a `=`, at which SoftHSM's configuration cuts a path"
  if (path.includes("'") && /["$\\`]/.test(path))
    return 'holds an apostrophe beside one of " $ \\ `, which .sealfleet/env has no quoting for'
  if (/(?:^|\/)\s|\s(?:\/|$)/.test(path)) return 'has a name that begins or ends with a space'
  return undefined
}
