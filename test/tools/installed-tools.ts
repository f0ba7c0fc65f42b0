// The real tools that a suite runs on. It finds them and never installs them.

import { accessSync, constants } from 'node:fs'
import { delimiter, isAbsolute, join } from 'node:path'

/** Debian's daemons lie in folders that are not on every user's PATH. */
const FOLDERS = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin', '/sbin']

/** Command → its path; of what is no command, such as a folder, the path itself is named. Throws one error that names all that is missing and says how to install it. */
export function installedTools<Command extends string>(
  packages: Readonly<Record<Command, string>>,
): Readonly<Record<Command, string>> {
  const found = Object.entries<string>(packages).map(([command, name]) => ({ command, name, path: pathOf(command) }))
  const missing = found.filter(({ path }) => path === null)
  if (missing.length > 0) {
    const names = [...new Set(missing.map(({ name }) => name))].join(' ')
    // libruby's newer bundler shadows the one that Debian's Rails is patched for, and Redmine's own setup fails.
    const bundler = names.includes('redmine') ? 'BUNDLER_VERSION=2.3.15 ' : ''
    throw new Error(
      `Not installed here: ${missing.map(({ command }) => command).join(', ')}. ` +
        `This suite runs against the real thing and installs nothing. On Debian: ${bundler}apt-get install --no-install-recommends ${names}`,
    )
  }
  return Object.fromEntries(found.map(({ command, path }) => [command, path])) as Record<Command, string>
}

function pathOf(command: string): string | null {
  const isProgram = (path: string) => {
    try {
      accessSync(path, constants.X_OK)
      return true
    } catch {
      return false
    }
  }
  const places = isAbsolute(command) ? [command] : FOLDERS.map((folder) => join(folder, command))
  return places.find(isProgram) ?? null
}
