# docker build -t mirror .
#
# Packages come from the index that pip uses, and have the hashes of requirements.lock. A build that
# reaches no index takes them from a folder wheels/ beside this file: see docs/clients/docker.md.
ARG BASE_IMAGE=python:3.13-slim

FROM ${BASE_IMAGE} AS build
WORKDIR /build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1
RUN python3 -m venv /opt/pip && python3 -m venv --without-pip /opt/mirror
# A pattern may match nothing: the folder is optional.
COPY requirements.lock wheels* wheels/
RUN set -eu; \
    if ls wheels/*.whl > /dev/null 2>&1; then \
        printf '[global]\nno-index = true\nfind-links = /build/wheels\n' > /etc/pip.conf; \
    fi; \
    /opt/pip/bin/pip --python /opt/mirror/bin/python install --require-hashes -r wheels/requirements.lock
COPY pyproject.toml README.md ./
COPY mirror mirror/
RUN /opt/pip/bin/pip --python /opt/mirror/bin/python install --no-deps .

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="mirror" \
      org.opencontainers.image.description="A pull-through mirror of Docker Hub and other registries, and a private registry"
# Group 0 may write too: some platforms choose the user's number themselves and leave it that group.
RUN echo 'mirror:x:1000:1000:mirror:/var/lib/registry:/usr/sbin/nologin' >> /etc/passwd \
    && echo 'mirror:x:1000:' >> /etc/group \
    && mkdir -p /var/lib/registry \
    && chown 1000:0 /var/lib/registry \
    && chmod 0770 /var/lib/registry
COPY --from=build /opt/mirror /opt/mirror
COPY container/entrypoint container/healthcheck /usr/local/bin/
ENV PATH=/opt/mirror/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    MIRROR__LISTEN=0.0.0.0:5000 \
    MIRROR__DATA=/var/lib/registry
VOLUME /var/lib/registry
WORKDIR /var/lib/registry
EXPOSE 5000
# A number, so that Kubernetes can see that it is not root.
USER 1000:1000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["healthcheck"]
ENTRYPOINT ["entrypoint"]
CMD ["serve"]
