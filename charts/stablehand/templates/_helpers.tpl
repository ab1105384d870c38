{{/* The name of everything that this release creates, at most 63 characters long. */}}
{{- define "stablehand.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The selector of the operator's pod: it never changes during the lifetime of a release. */}}
{{- define "stablehand.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "stablehand.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "stablehand.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "stablehand.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "stablehand.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name is needed when serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "stablehand.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* Who owns the CustomResourceDefinition that the cluster has: "none", "this release", or a name for a person. Helm
refuses to write over an object whose annotations name another release, or none. */}}
{{- define "stablehand.crdOwner" -}}
{{- $present := lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" "wsgiapps.stablehand.dev" -}}
{{- if not $present -}}
none
{{- else -}}
{{- $annotations := default dict $present.metadata.annotations -}}
{{- $name := get $annotations "meta.helm.sh/release-name" -}}
{{- $namespace := get $annotations "meta.helm.sh/release-namespace" -}}
{{- if and (eq $name .Release.Name) (eq $namespace .Release.Namespace) -}}
this release
{{- else if $name -}}
{{- printf "the release %s in the namespace %s" $name $namespace -}}
{{- else -}}
someone else than Helm
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The permissions that the operator needs: docs/operator.md has the same table, and a test compares the two. */}}
{{- define "stablehand.rules" -}}
- apiGroups: [stablehand.dev]
  resources: [wsgiapps]
  verbs: [get, list, watch]
- apiGroups: [stablehand.dev]
  resources: [wsgiapps/status]
  verbs: [get, patch]
- apiGroups: [stablehand.dev]
  resources: [wsgiapps/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, patch]
- apiGroups: [""]
  resources: [configmaps, services, serviceaccounts]
  verbs: [get, list, watch, create, patch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{/* The name of the roles: releases of the same name in two namespaces must not collide in a shared namespace. */}}
{{- define "stablehand.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "stablehand.fullname" .) -}}
{{- end -}}
