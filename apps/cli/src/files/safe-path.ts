import { lstat, mkdir } from 'node:fs/promises'
import path from 'node:path'
import { CliError } from '../cli-error.js'
import { EXIT } from '../exit-status.js'
import { hasCode } from './errno.js'
import { descriptorsHavePaths, OpenFolder } from './open-folder.js'
import { outputError, unsafeOutput } from './output-error.js'

/**
 * True for a relative path that names something below wherever it is applied: no empty, `.` or `..` component, no
 * leading slash, no NUL. Records come from a database that an attacker may have written to.
 */
export function isPlainRelative(relative: string): boolean {
  return (
    relative !== '' &&
    !relative.includes('\0') &&
    relative.split('/').every((part) => part !== '' && part !== '.' && part !== '..')
  )
}

/** Where a file below an output folder goes; dispose closes the folders on the way. */
export interface PlaceBelow extends AsyncDisposable {
  readonly folder: OpenFolder
  readonly name: string
}

/**
 * Opens the folders of `relative` below `output`, one in the other, made where missing. None of them is opened through a
 * link, even if they change meanwhile, so files stay below `output`. Throws OUTPUT_UNSAFE.
 */
export async function placeBelow(output: OpenFolder, relative: string): Promise<PlaceBelow> {
  if (!isPlainRelative(relative)) {
    throw unsafeOutput(`${JSON.stringify(relative)} is not a plain relative path and could leave the output folder`)
  }
  const parts = relative.split('/')
  const name = parts.pop() ?? ''
  const opened: OpenFolder[] = []
  const close = async (): Promise<void> => {
    for (const folder of opened.reverse()) await folder[Symbol.asyncDispose]()
  }
  try {
    let folder = output
    for (const part of parts) {
      folder = await realFolder(folder, part)
      opened.push(folder)
    }
    return { folder, name, [Symbol.asyncDispose]: close }
  } catch (error) {
    await close()
    throw error
  }
}

async function realFolder(above: OpenFolder, part: string): Promise<OpenFolder> {
  try {
    return await above.child(part, { make: true })
  } catch (error) {
    if (!hasCode(error, 'ENOTDIR', 'ELOOP', 'ENOENT')) throw outputError(error, path.join(above.path, part))
    const shown = JSON.stringify(path.join(above.path, part))
    throw unsafeOutput(
      (await isLink(above.at(part)))
        ? `${shown} is a symbolic link; nothing is written through it`
        : `${shown} is in the way: it is not a folder`,
    )
  }
}

async function isLink(file: string): Promise<boolean> {
  try {
    return (await lstat(file)).isSymbolicLink()
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false
    throw error
  }
}

/** Makes the output folder itself (parents included) and opens it; links on the way are followed: the caller named it. */
export async function openOutputFolder(folder: string): Promise<OpenFolder> {
  if (!descriptorsHavePaths()) {
    throw new CliError('OUTPUT_UNSAFE', 'folders can be restored safely only where there is /proc/self/fd (Linux)', {
      exitStatus: EXIT.failed,
      fix: 'restore file by file with -o PATH, or run it on Linux',
    })
  }
  try {
    await mkdir(folder, { recursive: true })
    return await OpenFolder.open(folder)
  } catch (error) {
    throw outputError(error, folder)
  }
}
