{{- define "bot.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "bot.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "bot.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "bot.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "bot.selectorLabels" -}}
app.kubernetes.io/name: {{ include "bot.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "bot.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "bot.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "bot.image" -}}
{{- $repository := required "image.repository: name the image that you built and pushed, such as registry.example.com/pg-sessions-bot" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "bot.secretName" -}}
{{- if .Values.secret -}}
{{- if .Values.existingSecret -}}
{{- fail "existingSecret and secret: set one of them, not both" -}}
{{- end -}}
{{- include "bot.fullname" . -}}
{{- else -}}
{{- required "existingSecret: name the Secret that holds SLACK_BOT_TOKEN, SLACK_APP_TOKEN and DATABASE_URL" .Values.existingSecret -}}
{{- end -}}
{{- end -}}

{{- define "bot.isSqlite" -}}
{{- if eq .Values.ledger.kind "sqlite" }}true{{ end -}}
{{- end -}}

{{- define "bot.claimName" -}}
{{- default (printf "%s-ledger" (include "bot.fullname" .)) .Values.ledger.persistence.existingClaim -}}
{{- end -}}

{{- /* Sentences about what stands in the wrong place, one per line; a schema could only refuse it. */ -}}
{{- define "bot.misplaced" -}}
{{- $secret := "^(SLACK_BOT_TOKEN|SLACK_APP_TOKEN|SLACK_SIGNING_SECRET|LEDGER_URL|DATABASE_URL(_[A-Z0-9_]+)?|DATABASE_PASSWORD_COMMAND(_[A-Z0-9_]+)?)$" -}}
{{- range $name, $_ := .Values.settings }}
{{- if regexMatch $secret $name }}
settings.{{ $name }}: may hold a secret; put it into the Secret that existingSecret names
{{- else if has $name (list "SECRETS_DIR" "HEALTH_PORT" "PORT") }}
settings.{{ $name }}: is set by the chart; leave it out
{{- end }}
{{- end }}
{{- range $name, $_ := .Values.secret }}
{{- if not (regexMatch $secret $name) }}
secret.{{ $name }}: is no secret; put it under settings
{{- end }}
{{- end }}
{{- end -}}
