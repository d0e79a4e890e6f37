/** Before vitest runs a file: the programs that suites start are bundled from what is compiled now. */
import { bundlePrograms } from './bundle.mjs'

export async function setup() {
  await bundlePrograms()
}
