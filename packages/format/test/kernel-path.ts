/** Set-up of the suites that run once on each path: SEALFLEET_TEST_KERNEL names it, and it must be there. */
import { kernel, selectKernel } from '@sealfleet/kernel'

const wanted = process.env['SEALFLEET_TEST_KERNEL']
if (wanted !== 'typescript' && wanted !== 'evp') throw new Error('SEALFLEET_TEST_KERNEL is typescript or evp')
selectKernel(wanted)
if ((kernel()?.path ?? 'typescript') !== wanted)
  throw new Error(`this machine has no path ${wanted}: is the addon built?`)
