FROM scratch
COPY switchyard /switchyard
USER 65532:65532
EXPOSE 8443 8080
ENTRYPOINT ["/switchyard"]
