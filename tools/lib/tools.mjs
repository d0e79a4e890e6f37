/** The system programs that we need, and the Debian packages that contain them. Looking for them starts no process. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { findCommand, findLibrary, findPostgres, findSoftHsm } from './find-tools.mjs'
import { checkout } from './places.mjs'

/**
 * @typedef {object} Tool
 * @property {string} name what a person calls it
 * @property {string[]} packages of Debian and Ubuntu
 * @property {() => boolean} present
 */

/** pkcs11js compiled for this checkout. */
export const pkcs11Addon = join(checkout, 'node_modules', 'pkcs11js', 'build', 'Release', 'pkcs11.node')

/** @param {string} name @param {string[]} [packages] @returns {Tool} */
const command = (name, packages = [name]) => ({ name, packages, present: () => findCommand(name) !== undefined })

/** A C++ compiler and the other programs that node-gyp needs. */
const COMPILER = ['gcc', 'g++', 'make', 'python3'].map((name) => command(name))

/** What the quickstart needs. @type {Tool[]} */
const QUICKSTART = [
  command('redis-server'),
  command('openssl'),
  { name: 'postgres', packages: ['postgresql'], present: () => findPostgres() !== undefined },
  { name: 'softhsm', packages: ['softhsm2'], present: () => Boolean(findSoftHsm() && findCommand('softhsm2-util')) },
]

/**
 * Further needs of the tests: Ceph's S3 gateway, other PKCS#11 modules, and a compiler for the module that fails on
 * purpose.
 */
/** @type {Tool[]} */
const TESTS = [
  ...COMPILER,
  command('ceph', ['ceph-common']),
  command('radosgw-admin', ['ceph-common']),
  command('ceph-mon'),
  command('monmaptool', ['ceph-base', 'ceph-mon']),
  command('ceph-mgr'),
  command('ceph-osd'),
  command('radosgw'),
  command('pkcsslotd', ['opencryptoki']),
  command('pgbouncer'),
  command('pkcs11-tool', ['opensc']),
  command('p11-kit'),
  {
    name: 'p11-kit headers',
    packages: ['libp11-kit-dev'],
    present: () => existsSync('/usr/include/p11-kit-1/p11-kit/pkcs11.h'),
  },
  { name: 'NSS softokn', packages: ['libnss3'], present: () => findLibrary('libsoftokn3.so') !== undefined },
]

/**
 * The tools that are missing.
 *
 * @param {{ tests: boolean }} options
 */
export function missingTools({ tests }) {
  // A prebuilt add-on needs no compiler: images and second runs.
  const compiler = existsSync(pkcs11Addon) ? [] : COMPILER
  const wanted = [...QUICKSTART, ...(tests ? TESTS : compiler)]
  return wanted.filter((tool) => !tool.present())
}
