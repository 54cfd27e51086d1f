# Figures of experiments under the names of the published figures, and the gallery of the
# documentation: `snakemake --cores 2 gallery` writes docs/gallery anew.


rule named_figure:
    input:
        source_png=lambda wildcards: NAMED_FIGURES[wildcards.named].file("png"),
        source_pdf=lambda wildcards: NAMED_FIGURES[wildcards.named].file("pdf"),
    output:
        png=report(
            "<results>/figures/{named}.png",
            caption="../report/named_figure.rst",
            category="Figures of the papers",
            labels={"figure": "{named}"},
        ),
        pdf="<results>/figures/{named}.pdf",
    log:
        "<logs>/named_figure/{named}.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        code=code_hash("named_figure"),
    script:
        "../scripts/named_figure.py"


rule gallery_picture:
    input:
        figure="<results>/figures/{named}.png",
    output:
        picture="docs/gallery/{named}.png",
    log:
        "<logs>/gallery_picture/{named}.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        width=1000,
        code=code_hash("gallery_picture"),
    script:
        "../scripts/gallery_picture.py"
