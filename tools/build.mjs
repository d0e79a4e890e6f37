/**
 * `npm run build`: generates the database client from prisma/schema.prisma, builds the native kernel where that is
 * possible and every workspace by TypeScript's project references, and bundles the programs (lib/bundle.mjs).
 */
import './lib/node-version.mjs'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { bundlePrograms } from './lib/bundle.mjs'
import { checkout } from './lib/places.mjs'
import { runNode, runStep } from './lib/run.mjs'
import { runMain } from './lib/say.mjs'
import { waiting } from './lib/waiting.mjs'

await runMain(async () => {
  if (existsSync(join(checkout, 'tools', 'prisma-generate.mjs'))) {
    await runStep('generation of the database client', 'prisma-generate.mjs', [])
  }
  await runStep('build of the native kernel', 'build-kernel.mjs', [])
  const status = await waiting('tsc: compiling what has changed (the first time a minute or two)', () =>
    runNode([join(checkout, 'node_modules', 'typescript', 'bin', 'tsc'), '-b']),
  )
  if (status === 0) await bundlePrograms()
  return status
})
