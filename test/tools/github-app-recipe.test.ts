// GitHub App installation tokens by their recipe, against a server made of the OpenAPI description that GitHub publishes, as
// its own package carries it.

import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describeGithubApp } from '../support/github-app-recipe.ts'
import { publishedTool } from '../support/published-tool.ts'

const PEERS = fileURLToPath(new URL('../peers/node_modules', import.meta.url))
const DESCRIPTION = `${PEERS}/@octokit/openapi/generated/api.github.com.json`
if (!existsSync(DESCRIPTION)) throw new Error('@octokit/openapi is missing: npm ci --prefix test/peers')
const description: unknown = JSON.parse(readFileSync(DESCRIPTION, 'utf8'))

describeGithubApp('by the published description', (does) => publishedTool(description, does))
