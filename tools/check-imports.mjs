/**
 * `npm run lint` runs it: compares every import of the sources with the layout (docs/ARCHITECTURE.md, "Layout"). Prints
 * each violation on a line and exits with 1 if there is one.
 */
import { checkout } from './lib/places.mjs'
import { checkImports } from './lib/imports.mjs'
import { runMain } from './lib/say.mjs'

await runMain(async () => {
  const violations = await checkImports(checkout)
  for (const violation of violations) console.error(violation)
  return violations.length === 0 ? 0 : 1
})
