import { constants } from 'node:fs'
import { lstat, mkdir, open } from 'node:fs/promises'
import path from 'node:path'
import { CliError } from '../cli-error.js'
import { EXIT } from '../exit-status.js'
import { hasCode } from './errno.js'

/**
 * True for a relative path that names something below wherever it is applied: no empty, `.` or `..` component, no
 * leading slash, no NUL. Records come from a database that somebody may have written to.
 */
export function isPlainRelative(relative: string): boolean {
  return (
    relative !== '' &&
    !relative.includes('\0') &&
    relative.split('/').every((part) => part !== '' && part !== '.' && part !== '..')
  )
}

/**
 * The absolute path of `relative` below `folder`, its folders made where missing. Every folder on the way is a real
 * one: a symbolic link among them is refused, so what is written stays below `folder`. `folder` itself may be
 * reached through links; the caller named it.
 */
export async function prepareBelow(folder: string, relative: string): Promise<string> {
  if (!isPlainRelative(relative)) {
    throw unsafe(`${JSON.stringify(relative)} is not a plain relative path and could leave the output folder`)
  }
  const parts = relative.split('/')
  let current = folder
  for (const part of parts.slice(0, -1)) {
    current = path.join(current, part)
    await ensureRealFolder(current)
  }
  return path.join(folder, relative)
}

async function ensureRealFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder)
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error
  }
  const stats = await lstat(folder)
  if (stats.isSymbolicLink())
    throw unsafe(`${JSON.stringify(folder)} is a symbolic link; nothing is written through it`)
  if (!stats.isDirectory()) throw unsafe(`${JSON.stringify(folder)} is in the way: it is not a folder`)
}

/** Makes the output folder itself (parents included) and returns it; refuses what isn't a folder. */
export async function ensureOutputFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  const handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY)
  await handle.close()
}

function unsafe(message: string): CliError {
  return new CliError('OUTPUT_UNSAFE', message, { exitStatus: EXIT.failed, fix: 'choose another folder with -o' })
}
