/**
 * `npm run pack:client` and `npm run pack:cli`: make a package that any project installs, without a registry. The last
 * line of standard output is the path of the `.tgz` alone.
 */
import './lib/node-version.mjs'
import { packCli } from './pack/cli.mjs'
import { packClient } from './pack/client.mjs'
import { Refusal, runMain } from './lib/say.mjs'

const PACKAGES = new Map([
  ['client', packClient],
  ['cli', packCli],
])

await runMain(async () => {
  const pack = PACKAGES.get(process.argv[2] ?? '')
  if (pack === undefined) throw new Refusal(`name one of: ${[...PACKAGES.keys()].join(', ')}`)
  console.log(await pack())
  return 0
})
