// The configurations that `hallpass tool snippet` prints, by what they are for. Text in, text out: nothing is read or fetched.

import { apacheSnippet } from './apache.ts'
import { caddySnippet } from './caddy.ts'
import { elasticsearchSnippet } from './elasticsearch.ts'
import { envoySnippet } from './envoy.ts'
import { grafanaSnippet } from './grafana.ts'
import { haproxySnippet } from './haproxy.ts'
import { kubernetesSnippet } from './kubernetes.ts'
import { nginxSnippet } from './nginx.ts'
import { opensearchSnippet } from './opensearch.ts'
import type { Snippet } from './snippet-head.ts'
import type { SnippetInput } from './snippet-input.ts'
import { traefikSnippet } from './traefik.ts'

export const SNIPPETS = {
  nginx: nginxSnippet,
  caddy: caddySnippet,
  traefik: traefikSnippet,
  haproxy: haproxySnippet,
  envoy: envoySnippet,
  apache: apacheSnippet,
  grafana: grafanaSnippet,
  elasticsearch: elasticsearchSnippet,
  opensearch: opensearchSnippet,
  kubernetes: kubernetesSnippet,
} as const satisfies Readonly<Record<string, (input: SnippetInput) => Snippet>>

export type SnippetFor = keyof typeof SNIPPETS

export const SNIPPET_KINDS = Object.keys(SNIPPETS) as readonly SnippetFor[]
