// Whether git is writing a work tree at this moment: a snapshot taken then could be half of two revisions (S3).

import { lstat, readFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'

const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')

const exists = async (path: string): Promise<boolean> => {
  try {
    await lstat(path)
    return true
  } catch (error) {
    if (isMissing(error)) return false
    throw error
  }
}

/** The git directory of a folder: `.git` itself, or where a worktree's `.git` file points; null where there is none. */
const gitDirectory = async (folder: string): Promise<string | null> => {
  const path = join(folder, '.git')
  try {
    const found = await lstat(path)
    if (found.isDirectory()) return path
    if (!found.isFile() || found.size > 4096) return null
    const pointer = /^gitdir: (.+)$/m.exec(await readFile(path, 'utf8'))
    return pointer ? resolve(folder, pointer[1]!.trim()) : null
  } catch (error) {
    if (isMissing(error)) return null
    throw error
  }
}

/** The lock file that git holds in the folder's repository or in one around it, or null. */
export const heldGitLock = async (folder: string): Promise<string | null> => {
  for (let current = resolve(folder); ; current = dirname(current)) {
    const git = await gitDirectory(current)
    if (git !== null && (await exists(join(git, 'index.lock')))) return join(git, 'index.lock')
    if (dirname(current) === current) return null
  }
}
